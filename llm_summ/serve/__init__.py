"""The HTTP service: summaries, an OpenAI-compatible chat, a page, and what watches them.

A request is read (`bodies`, `reading`), waits for its turn (`service`), and is summarised in a thread
(`summarizing`) by the one pipeline, `Summarizer`. Its model is in a process of its own.
"""
