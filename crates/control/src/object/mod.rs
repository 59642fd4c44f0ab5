//! Objects: what clients upload with temporary credentials, and the contents of skills and icons that were made of it.
//!
//! Everything is behind one [`ObjectStore`], a directory or an S3. Four folders: `uploads` (whole uploads, by account),
//! `parts` (multipart uploads that are not complete), `skills` and `icons` (contents, by hash). Each object ends in a
//! trailer with its size, sums and content type, so that what is read can be checked and an ETag needs no second place.
//! Names are made here, never by clients: an upload's is the hash of its key. No object is visible before it is whole.

mod collect;
mod content;
mod error;
mod key;
mod multipart;
mod read;
mod stored;
mod token;
mod usage;
mod write;

use std::future::Future;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

pub use self::collect::{Collected, Kept};
pub use self::content::{ICON_URL_DAYS, IconType};
pub use self::error::ObjectError;
pub use self::key::{BUCKET, FileKind, KEY_BYTES_MAX};
pub use self::multipart::{PARTS_MAX, Part};
pub use self::read::{ByteRange, ByteStream, is_etag};
pub use self::stored::Stored;
pub use self::token::{TOKEN_MS, UploadGrant, UploadSession};
pub use self::usage::{ACCOUNT_BYTES_MAX, ACCOUNT_OBJECTS_MAX, ACCOUNT_RUNNING_MAX, RUNNING_MAX};
pub use self::write::Writing;
use crate::id_gen::IdGen;
use crate::secrets::{MacKey, Sealer};
use crate::store::Store;
use crate::tasks::Tasks;
use usage::Usage;

/// How long the storage may take for one step.
const STEP_MAX: Duration = Duration::from_secs(60);

/// The service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Arc<dyn ObjectStore>,
    /// Where the files are, if they are in a directory: what a crash left half-written is removed there.
    directory: Option<PathBuf>,
    store: Store,
    ids: IdGen,
    sealer: Arc<Sealer>,
    icon_key: MacKey,
    usage: Usage,
    tasks: Tasks,
}

impl Objects {
    /// In a directory that exists. Each write is on the disk when it is answered.
    ///
    /// # Errors
    /// If the directory cannot be used.
    pub fn in_directory(
        directory: &FilePath,
        store: Store,
        ids: IdGen,
        sealer: Arc<Sealer>,
        tasks: Tasks,
    ) -> Result<Self, ObjectError> {
        let files = LocalFileSystem::new_with_prefix(directory)
            .map_err(ObjectError::Storage)?
            .with_automatic_cleanup(true)
            .with_fsync(true);
        let directory = Some(directory.to_path_buf());
        Ok(Self::new(Arc::new(files), directory, store, ids, sealer, tasks))
    }

    /// In any object storage.
    pub fn over(
        files: Arc<dyn ObjectStore>,
        store: Store,
        ids: IdGen,
        sealer: Arc<Sealer>,
        tasks: Tasks,
    ) -> Self {
        Self::new(files, None, store, ids, sealer, tasks)
    }

    fn new(
        files: Arc<dyn ObjectStore>,
        directory: Option<PathBuf>,
        store: Store,
        ids: IdGen,
        sealer: Arc<Sealer>,
        tasks: Tasks,
    ) -> Self {
        let icon_key = sealer.mac_key("icon_url");
        Self(Arc::new(Inner {
            files,
            directory,
            store,
            ids,
            sealer,
            icon_key,
            usage: Usage::default(),
            tasks,
        }))
    }

    fn now_ms(&self) -> i64 {
        self.0.store.clock().now_ms()
    }

    async fn delete(&self, path: &Path) -> Result<(), ObjectError> {
        match step(self.0.files.delete(path)).await {
            Err(ObjectError::NotFound) => Ok(()),
            other => other,
        }
    }
}

/// Gives the storage its time for one step.
async fn step<T>(doing: impl Future<Output = object_store::Result<T>>) -> Result<T, ObjectError> {
    match tokio::time::timeout(STEP_MAX, doing).await {
        Ok(done) => done.map_err(ObjectError::from),
        Err(_) => Err(ObjectError::Timeout),
    }
}
