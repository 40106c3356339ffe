//! Near-duplicate search: shingles, signatures, bands, an index.
//!
//! Two documents are near-duplicates when their sets of shingles (runs of k words) are alike in
//! the sense of Jaccard. A MinHash signature estimates that from a few numbers (Broder, "On the
//! resemblance and containment of documents", 1997), and bands of a signature find candidates
//! without comparing all pairs (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
//! chapter 3). [`Index`] holds documents in memory and verifies its candidates; who has more of
//! them sorts the bands of a [`Sketch`] on disk and verifies by [`jaccard`]. [`Datasketch`] makes
//! signatures that are those of the Python package, bit by bit.
//!
//! ```
//! use mesh_minhash::{Options, Sketcher, jaccard};
//!
//! let sketcher = Sketcher::new(Options { shingle: 2, ..Options::default() })?;
//! let one = sketcher.sketch("the bank left its rates as they were on monday".split(' '));
//! let two = sketcher.sketch("the bank left its rates as they were on tuesday".split(' '));
//! // Eight of ten shingles are in both.
//! assert_eq!(jaccard(one.shingles(), two.shingles(), 0.8), Some(0.8));
//! # Ok::<(), mesh_minhash::OptionsError>(())
//! ```

mod bands;
mod datasketch;
mod index;
mod kernel;
mod options;
mod permutations;
mod signature;
mod words;

pub use datasketch::Datasketch;
pub use index::{Index, Match, Sketch, Sketcher, jaccard};
pub use options::{MAX_SHINGLE, Options, OptionsError};
pub use permutations::MAX_PERMUTATIONS;
pub use words::Words;
