//! Uploaded packages: read once, in the background, and kept by their content.

use bytes::Bytes;
use creel_skills::bundle::{self, Record};
use creel_skills::package::{self, Manifest, PACKAGE_BYTES_MAX, Package, PackageError};
use creel_wire::id::AccountId;
use sha2::{Digest, Sha256};

use super::{SOURCE_UPLOAD, SkillError, Skills, words};
use crate::access::Actor;
use crate::lease::{LEASE_MS, kept};
use crate::object::ObjectError;
use crate::store::Topic;

/// Packages of one account that may wait.
const WAITING_MAX: i64 = 50;
/// How often work on a skill is begun and not ended: what ends the process is not begun for ever.
pub(super) const ATTEMPTS_MAX: i64 = 3;
/// How soon work is begun again that failed by a fault of ours.
pub(super) const AGAIN_MS: i64 = 5_000;
/// How long tasks are kept.
pub(crate) const KEPT_MS: i64 = 24 * 3_600_000;

words! {
    /// How far a package has come.
    ParseStatus { Parsing = "PARSING_METADATA", Completed = "COMPLETED", Failed = "FAILED" }
}

/// A package on its way to become a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackageTask {
    pub(crate) task_key: String,
    pub(crate) account_id: AccountId,
    pub(crate) object_key: String,
    pub(crate) object_etag: String,
    pub(crate) uploaded_by: String,
    pub(crate) uploaded_from: String,
    pub(crate) attempts: i64,
    pub(crate) progress: ParseProgress,
}

/// What is known about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseProgress {
    pub status: ParseStatus,
    /// One of [`PackageError::CODES`], or `Package.BadBundle`; empty unless it failed.
    pub error_code: String,
    pub error_message: String,
    /// Once completed.
    pub manifest: Option<Manifest>,
    pub(crate) content_hash: String,
    pub(crate) content_bytes: i64,
    pub(crate) package_hash: String,
    pub(crate) source: String,
    pub(crate) origin: Option<Record>,
}

/// A package that was read.
struct Parsed {
    package: Package,
    content: Vec<u8>,
    package_hash: String,
    source: String,
    origin: Option<Record>,
}

impl Skills {
    /// Begins to parse an uploaded package; gives the task's key. The object must be one of the account's uploads.
    ///
    /// # Errors
    /// Where the account has too many that wait. A missing object or another ETag shows in the task.
    pub async fn parse(
        &self,
        actor: Actor,
        object_key: String,
        object_etag: String,
    ) -> Result<String, SkillError> {
        let now_ms = self.store.clock().now_ms();
        let task_key = self.ids.request_id();
        let task = PackageTask {
            task_key: task_key.clone(),
            account_id: actor.account_id.clone(),
            uploaded_by: actor.principal_name(),
            uploaded_from: actor.origin.address.clone(),
            object_key,
            object_etag,
            attempts: 0,
            progress: without_content(ParseStatus::Parsing, "", String::new()),
        };
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    actor.audit(tx, &[task.object_key.as_str()], now_ms).await?;
                    if tx.count_waiting_packages(&actor.account_id).await? >= WAITING_MAX {
                        return Err(SkillError::TooManyPackages(WAITING_MAX));
                    }
                    tx.insert_package(&task, now_ms).await?;
                    tx.raise(Topic::Skill).await?;
                    Ok(())
                })
            })
            .await?;
        Ok(task_key)
    }

    /// How far a task of an account has come.
    pub async fn progress(
        &self,
        account_id: &AccountId,
        task_key: &str,
    ) -> Result<ParseProgress, SkillError> {
        let found = self.store.find_package(account_id, task_key).await?;
        Ok(found.ok_or_else(|| SkillError::TaskNotFound(task_key.to_owned()))?.progress)
    }

    /// Parses one package that waits; false where none does.
    pub async fn parse_next(&self) -> Result<bool, SkillError> {
        let now_ms = self.store.clock().now_ms();
        let claimed: Result<Option<PackageTask>, SkillError> = self
            .store
            .write(move |tx| Box::pin(async move { Ok(tx.claim_package(now_ms, now_ms + LEASE_MS).await?) }))
            .await;
        let Some(task) = claimed? else { return Ok(false) };
        let task_key = task.task_key.clone();
        let progress = if task.attempts > ATTEMPTS_MAX {
            failed("Package.ReadFailed", "Reading the package ended the server several times.".to_owned())
        } else {
            let renew = || {
                let (key, until_ms) = (task.task_key.clone(), self.store.clock().now_ms() + LEASE_MS);
                self.store.write(move |tx| Box::pin(async move { tx.renew_package(&key, until_ms).await }))
            };
            match kept(self.parse_task(&task), renew).await {
                Ok(Ok(progress)) => progress,
                Ok(Err(error)) => failed(error.code, error.message),
                Err(error) => {
                    let until_ms = self.store.clock().now_ms() + AGAIN_MS;
                    self.store
                        .write::<_, SkillError, _>(move |tx| {
                            Box::pin(async move { Ok(tx.release_package(&task_key, until_ms).await?) })
                        })
                        .await?;
                    return Err(error);
                }
            }
        };
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    tx.set_package_progress(&task_key, &progress).await?;
                    Ok::<_, SkillError>(())
                })
            })
            .await?;
        Ok(true)
    }

    /// The outer error is ours and tried again; the inner one is the package's.
    async fn parse_task(
        &self,
        task: &PackageTask,
    ) -> Result<Result<ParseProgress, PackageError>, SkillError> {
        let read = self.objects.read_upload(
            &task.account_id,
            &task.object_key,
            &task.object_etag,
            PACKAGE_BYTES_MAX,
        );
        let bytes = match read.await {
            Ok(bytes) => bytes,
            Err(
                error @ (ObjectError::NotFound
                | ObjectError::ETagMismatch
                | ObjectError::TooLarge(_)
                | ObjectError::BadKey(_)
                | ObjectError::ForeignKey),
            ) => {
                let message = format!("The package cannot be read: {error}. Upload it again.");
                return Ok(Err(PackageError { code: "Package.ReadFailed", message }));
            }
            Err(error) => return Err(error.into()),
        };
        let parsed = match blocking(move || read_package(&bytes)).await? {
            Ok(parsed) => parsed,
            Err(error) => return Ok(Err(error)),
        };
        let Parsed { package, content, package_hash, source, origin } = parsed;
        let content_bytes = i64::try_from(content.len()).unwrap_or(i64::MAX);
        self.objects.put_skill(&package.content_hash, Bytes::from(content)).await?;
        Ok(Ok(ParseProgress {
            status: ParseStatus::Completed,
            error_code: String::new(),
            error_message: String::new(),
            manifest: Some(package.manifest),
            content_hash: package.content_hash,
            content_bytes,
            package_hash,
            source,
            origin,
        }))
    }
}

/// CPU only.
fn read_package(bytes: &Bytes) -> Result<Parsed, PackageError> {
    let (package, source, origin) = if bundle::is_bundle(bytes) {
        let (package, source, record) = super::exchange::import(bytes)?;
        (package, source, Some(record))
    } else {
        (package::read(bytes)?, SOURCE_UPLOAD.to_owned(), None)
    };
    let content = package::pack(&package.files);
    Ok(Parsed { package, content, package_hash: hex::encode(Sha256::digest(bytes)), source, origin })
}

fn failed(code: &str, message: String) -> ParseProgress {
    without_content(ParseStatus::Failed, code, message)
}

fn without_content(status: ParseStatus, code: &str, message: String) -> ParseProgress {
    ParseProgress {
        status,
        error_code: code.to_owned(),
        error_message: message,
        manifest: None,
        content_hash: String::new(),
        content_bytes: 0,
        package_hash: String::new(),
        source: SOURCE_UPLOAD.to_owned(),
        origin: None,
    }
}

/// Runs what takes CPU for longer than the runtime may be kept.
pub(super) async fn blocking<T, F>(work: F) -> Result<T, SkillError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(|_| crate::store::StoreError::Panicked.into())
}
