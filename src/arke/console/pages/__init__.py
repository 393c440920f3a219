"""The pages, one module a subject: each has a context that says what its template shows."""
