"""From the journal to an acknowledgement: lanes, messages, signing, tokens, HTTPS."""
