//! Sources named by URL and digest: fetched once, resumed, verified, unpacked.
