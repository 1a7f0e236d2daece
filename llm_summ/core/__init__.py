"""What every room uses: errors, files, locks, progress, optional packages, tokenizers of words."""
