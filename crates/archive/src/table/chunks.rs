use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read},
    mem,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};

use super::place::{Object, Place};
use crate::ArchiveError;

/// A file as the Parquet library reads it: here and there.
pub(super) enum Chunks {
    Local(File, Pool),
    Object(Blocks),
}

/// Room that pages are read into, again and again: what is new has to be got from the system first.
type Pool = Arc<Mutex<Vec<Vec<u8>>>>;

/// A page in such room, which it gives back.
struct Page {
    bytes: Vec<u8>,
    pool: Pool,
}

/// Pages of which the room is kept: one is read while another is still in use.
const POOLED: usize = 2;
/// Longer ones are not kept.
const MAX_POOLED: usize = 4 << 20;

/// An object that is read in whole blocks, of which the last few are kept: the library asks for
/// the header of a page and then for the page, and does so for each column in turn.
#[derive(Clone)]
pub(super) struct Blocks {
    object: Object,
    length: u64,
    most: usize,
    kept: Arc<Mutex<VecDeque<(u64, Bytes)>>>,
}

/// Reads on from some byte.
struct Onward {
    blocks: Blocks,
    at: u64,
}

/// The length of a block.
const BLOCK: u64 = 4 << 20;
const LEAST_BLOCK: u64 = 64 << 10;
/// Bytes of blocks that are kept, at most, if the columns are not more than a thousand.
const KEPT: u64 = 64 << 20;

impl Chunks {
    /// Opens a file, of which so many columns are read at once.
    pub(super) fn open(place: &Place, columns: usize) -> Result<Self, ArchiveError> {
        Ok(match place {
            Place::Local(path) => {
                let file = File::open(path).map_err(|error| ArchiveError::open(path, error))?;
                Self::Local(file, Pool::default())
            }
            Place::Object(object) => Self::Object(Blocks::new(object.clone(), columns)),
        })
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file, _) => Length::len(file),
            Self::Object(blocks) => blocks.object.bytes,
        }
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(match self {
            Self::Local(file, _) => Box::new(file.get_read(start)?),
            Self::Object(blocks) => Box::new(Onward { blocks: blocks.clone(), at: start }),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::Local(file, pool) => {
                let mut page = Page::in_pool(pool);
                page.bytes.resize(length, 0);
                file.read_exact_at(&mut page.bytes, start)?;
                Ok(Bytes::from_owner(page))
            }
            Self::Object(blocks) => Ok(blocks.get(start, length as u64)?),
        }
    }
}

impl Page {
    fn in_pool(pool: &Pool) -> Self {
        let found = pool.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { bytes: found.unwrap_or_default(), pool: Arc::clone(pool) }
    }
}

impl AsRef<[u8]> for Page {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED && self.bytes.capacity() <= MAX_POOLED {
            pool.push(mem::take(&mut self.bytes));
        }
    }
}

impl Blocks {
    fn new(object: Object, columns: usize) -> Self {
        // Each column is somewhere else, and one page may lie in two blocks.
        let most = columns.saturating_add(2);
        let length = (KEPT / most as u64).clamp(LEAST_BLOCK, BLOCK);
        Self { object, length, most, kept: Arc::default() }
    }

    fn get(&self, start: u64, length: u64) -> io::Result<Bytes> {
        let end = start.checked_add(length).filter(|end| *end <= self.object.bytes);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if length > self.length {
            return self.object.get(start, length);
        }
        let (mut at, mut all) = (start, BytesMut::new());
        while at < end {
            let block = self.onward(at)?;
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(block.len());
            let part = block.slice(..wanted);
            if at == start && part.len() as u64 == length {
                return Ok(part);
            }
            at += part.len() as u64;
            all.extend_from_slice(&part);
        }
        Ok(all.freeze())
    }

    /// The rest of the block that a byte lies in: nothing after the last.
    fn onward(&self, at: u64) -> io::Result<Bytes> {
        let begin = at - at % self.length;
        let length = self.length.min(self.object.bytes.saturating_sub(begin));
        if length == 0 {
            return Ok(Bytes::new());
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().position(|(other, _)| *other == begin);
        let (_, block) = match found.and_then(|place| kept.remove(place)) {
            Some(block) => block,
            None => (begin, self.object.get(begin, length)?),
        };
        kept.push_back((begin, block.clone()));
        if kept.len() > self.most {
            kept.pop_front();
        }
        let inside = usize::try_from(at - begin).unwrap_or(usize::MAX).min(block.len());
        Ok(block.slice(inside..))
    }
}

impl Read for Onward {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let block = self.blocks.onward(self.at)?;
        let read = (&*block).read(to)?;
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
    use proptest::prelude::*;

    use super::*;
    use crate::table::place::Bucket;

    proptest! {
        #[test]
        fn blocks_give_what_the_object_has(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            asked in prop::collection::vec((0u64..110, 0u64..30), 1..20),
            length in 1u64..20,
        ) {
            let runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = { runtime }.worker_threads(1).build().unwrap();
            let (store, path) = (Arc::new(InMemory::new()), Path::from("a"));
            runtime.block_on(store.put(&path, bytes.clone().into())).unwrap();
            let about = runtime.block_on(store.head(&path)).unwrap();
            let bucket = Bucket { store, runtime: runtime.handle().clone() };
            let object = Object::new(&bucket, about);
            let blocks = Blocks { object, length, most: 2, kept: Arc::default() };
            for (start, length) in asked {
                let at = usize::try_from(start).unwrap();
                let end = at + usize::try_from(length).unwrap();
                let found = blocks.get(start, length).ok();
                prop_assert_eq!(found.as_deref(), bytes.get(at..end));
                let mut rest = Vec::new();
                Onward { blocks: blocks.clone(), at: start }.read_to_end(&mut rest).unwrap();
                prop_assert_eq!(&rest, bytes.get(at..).unwrap_or(&[]));
            }
        }
    }
}
