"""What both websites of ours need, the album and the dashboard: the guard around them, sessions, pages, and the server.

Knows nothing of photos and spools. All of it is behind the extras ``album`` and ``web``.
"""
