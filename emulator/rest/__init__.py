"""App containers of a running network managed over HTTP, as ComNetsEmu's manager offers it.

``Network.serve_rest`` starts a server; nothing here is imported before that.
"""
