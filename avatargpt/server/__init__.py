"""HTTP, WebSocket, MMCP and MCP servers, and the studio page."""

INSTALL = 'pip install -e ".[serve]"'  # the extra that they need
