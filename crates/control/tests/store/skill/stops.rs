//! A storage that stops at one of its steps: what a process sees of it that is killed there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

/// Whether the step is done when it stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Before,
    After,
    /// It does not stop: this step and all after it fail.
    Fail,
}

#[derive(Debug)]
pub(super) struct Stops {
    inner: Arc<dyn ObjectStore>,
    stop: Stop,
    /// The step it stops at, counted from 0.
    at: usize,
    steps: AtomicUsize,
    stopped: Notify,
}

impl Stops {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, stop: Stop, at: usize) -> Arc<Self> {
        Arc::new(Self { inner, stop, at, steps: AtomicUsize::new(0), stopped: Notify::new() })
    }

    /// Until it has stopped.
    pub(super) async fn stopped(&self) {
        self.stopped.notified().await;
    }

    async fn step<T>(&self, doing: impl Future<Output = Result<T>>) -> Result<T> {
        let step = self.steps.fetch_add(1, Ordering::SeqCst);
        if self.stop == Stop::Fail && step >= self.at {
            return Err(Error::Generic { store: "stops", source: "the disk is on fire".into() });
        }
        if self.stop == Stop::Before && step == self.at {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
        let done = doing.await;
        if self.stop == Stop::After && step == self.at {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
        done
    }
}

impl std::fmt::Display for Stops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stops({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Stops {
    async fn put_opts(&self, at: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.step(self.inner.put_opts(at, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.step(self.inner.put_multipart_opts(at, options)).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.step(self.inner.get_opts(at, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.step(self.inner.copy_opts(from, to, options)).await
    }
}
