//! From sources to datasets: readers, splits, statistics, leakage.
