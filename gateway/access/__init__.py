"""May this caller come in, and use what?"""
