"""`arke doctor`: what is wrong with an installation, looked at from its machine, and what to do about it.

Nothing is changed, no message is sent, and no secret is shown.
"""
