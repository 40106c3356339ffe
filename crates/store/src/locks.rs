use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use crate::{StoreError, StoreErrorKind};

/// Locks between `mesh` processes: files that the operating system unlocks when their holder
/// ends, however it ends.
#[derive(Debug, Clone)]
pub struct Locks {
    folder: PathBuf,
}

/// A held lock, given back when dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The lock that every run shares and that garbage collection needs alone.
const STORE: &str = "store";

impl Locks {
    /// Locks kept in a folder, which is made when it is needed.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Takes the lock on a piece of work, waiting for whoever holds it; `waiting` is called
    /// once, before the wait.
    ///
    /// # Errors
    /// When the lock's file cannot be made or locked.
    pub fn work(&self, name: &str, waiting: impl FnOnce()) -> Result<Lock, StoreError> {
        let (file, path) = self.file(name)?;
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => waiting(),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path, error)),
        }
        file.lock().map_err(|error| StoreError::io("lock", &path, error))?;
        Ok(Lock { _file: file })
    }

    /// Takes the lock on a piece of work if nobody holds it.
    ///
    /// # Errors
    /// When the lock's file cannot be made or locked.
    pub fn try_work(&self, name: &str) -> Result<Option<Lock>, StoreError> {
        let (file, path) = self.file(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path, error)),
        }
    }

    /// Says that artifacts are in use: garbage collection waits until it is given back.
    ///
    /// # Errors
    /// When the lock's file cannot be made or locked.
    pub fn use_store(&self) -> Result<Lock, StoreError> {
        let (file, path) = self.file(STORE)?;
        file.lock_shared().map_err(|error| StoreError::io("lock", &path, error))?;
        Ok(Lock { _file: file })
    }

    /// Says that artifacts are about to be removed.
    ///
    /// # Errors
    /// When somebody uses the store: try again later.
    pub fn collect(&self) -> Result<Lock, StoreError> {
        let (file, path) = self.file(STORE)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Err(StoreError::new(StoreErrorKind::Locked, "collect garbage")
                    .help("another `mesh` is running a step: let it end, then collect again"))
            }
            Err(TryLockError::Error(error)) => Err(StoreError::io("lock", &path, error)),
        }
    }

    fn file(&self, name: &str) -> Result<(File, PathBuf), StoreError> {
        let path = self.folder.join(name);
        fs::create_dir_all(&self.folder)
            .map_err(|error| StoreError::io("make the folder", &self.folder, error))?;
        let file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| StoreError::io("open the lock", &path, error))?;
        Ok((file, path))
    }
}
