//! Sentiment of a document and of the entities in it.
