"""An encoder's name goes in; its weights lie in the home folder afterwards.

In reading order: `download` · `fetch` (Meta's file) · `hub` (Hugging Face's) · `inventory` (what is here) · `facts` (what one chooses by).
"""
