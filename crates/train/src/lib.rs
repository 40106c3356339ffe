//! From datasets to models: trainers, metrics, gates, model cards.
