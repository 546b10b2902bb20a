"""One reader per corpus; each yields :class:`instruct_data.clip.Clip`."""
