"""Mutated documents, lists, sentences, messages and options: each is understood or refused in one line."""
