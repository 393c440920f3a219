"""The intake: HTTP edge, onboarding files, identity resolution."""
