"""What a training consists of: tokenized examples, steps, their duration, and where it runs."""
