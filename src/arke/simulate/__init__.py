"""`arke simulate`: a script of events through the real engine on virtual time, every request written down."""
