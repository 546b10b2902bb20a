"""HTTP, WebSocket, MMCP and MCP servers, and the studio page."""
