"""Playing with a model: endpoints, prompts, the loop, runs on disk.

Owns how a language model is asked for the next call and how its answer is read. Must not know facts, nor any
concrete task. Nothing here imports a client library before a model is asked.
"""
