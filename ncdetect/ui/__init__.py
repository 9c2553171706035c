"""The page: one file a tab, which holds components and events only. `app.py` launches it."""
