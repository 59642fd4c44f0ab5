//! Opens what `objects` names: a directory, or a bucket of an S3 through this process's one HTTP client.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use creel_control::id_gen::IdGen;
use creel_control::object::{ObjectError, Objects};
use creel_control::secrets::Sealer;
use creel_control::store::Store;
use creel_control::tasks::Tasks;
use http::Request;
use http_body_util::{BodyExt, Full};
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::prefix::PrefixStore;

use crate::config::Config;
use crate::gateway::UpstreamClient;

/// Longest wait for a connection, and for the head of an answer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Why there is no place for objects.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("making the directory {}", path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "objects = s3://{bucket}: set AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, unless it is AWS, AWS_ENDPOINT_URL"
    )]
    S3 {
        bucket: String,
        #[source]
        source: object_store::Error,
    },
    #[error("making the client for the S3")]
    Client(#[from] rustls::Error),
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

/// The objects of this server.
pub(crate) fn open(
    config: &Config,
    store: Store,
    ids: IdGen,
    sealer: Arc<Sealer>,
    tasks: Tasks,
) -> Result<Objects, StorageError> {
    let Some((bucket, prefix)) = config.objects_bucket() else {
        let path = config.objects_dir();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|source| StorageError::Directory { path: path.clone(), source })?;
        return Ok(Objects::in_directory(&path, store, ids, sealer, tasks)?);
    };
    let s3 = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_http_connector(Connector(UpstreamClient::new(CONNECT_MAX)?))
        .build()
        .map_err(|source| StorageError::S3 { bucket: bucket.to_owned(), source })?;
    let files: Arc<dyn object_store::ObjectStore> = match prefix {
        "" => Arc::new(s3),
        prefix => Arc::new(PrefixStore::new(s3, prefix)),
    };
    Ok(Objects::over(files, store, ids, sealer, tasks))
}

/// Gives the library our client, which has the process's one TLS.
#[derive(Debug, Clone)]
struct Connector(UpstreamClient);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let sent = self.0.send(Request::from_parts(parts, Full::new(body)));
        let answer = tokio::time::timeout(ANSWER_MAX, sent)
            .await
            .map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?
            .map_err(|error| HttpError::new(HttpErrorKind::Connect, error))?;
        let (parts, body) = answer.into_parts();
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}
