//! Scans versions in the background: once when they are new, and again when the rules change.

use std::sync::Arc;
use std::time::Duration;

use creel_skills::analyse::Analysis;
use creel_skills::package::{self, Package};
use creel_skills::report::{Report, Unread};
use creel_skills::scan::ScannerError;
use futures_util::future::BoxFuture;

use super::package::{AGAIN_MS, ATTEMPTS_MAX, KEPT_MS, blocking};
use super::{SkillError, SkillVersion, Skills};
use crate::access::Actor;
use crate::lease::{LEASE_MS, kept};
use crate::object::{Collected, Kept};
use crate::store::Topic;
use crate::tasks::Tasks;

/// Analysers beside the rules may take this long together; what was not read by then counts as unread.
const ANALYSERS_WITHIN: Duration = Duration::from_secs(480);
/// How often is looked for work without a signal.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often is looked for objects that nothing names.
const COLLECT_EVERY: Duration = Duration::from_secs(3_600);
/// A pause after a failure of ours.
const PAUSE: Duration = Duration::from_secs(5);

/// Analysers beside the rules.
pub trait Analyse: std::fmt::Debug + Send + Sync {
    /// Changes when they would say something else.
    fn version(&self) -> String;
    /// What they say of a package.
    fn analyse(&self, package: Arc<Package>) -> BoxFuture<'_, Analysis>;
}

impl Skills {
    /// Starts what parses and scans; `analysers` beside the rules, if there are any.
    pub fn start(&self, tasks: &Tasks, analysers: Option<Arc<dyn Analyse>>) {
        let (collector, cancel) = (self.clone(), tasks.cancelled());
        tasks.spawn("skill-objects", async move {
            let all = async {
                loop {
                    match collector.collect().await {
                        Ok(0) => {}
                        Ok(removed) => tracing::info!(removed, "removed {removed} objects that nothing names"),
                        Err(error) => {
                            tracing::warn!(error = %error, "removing objects that nothing names failed; it is tried again");
                        }
                    }
                    tokio::time::sleep(COLLECT_EVERY).await;
                }
            };
            tokio::select! { () = all => {}, () = cancel.cancelled() => {} }
        });
        let (skills, cancel) = (self.clone(), tasks.cancelled());
        tasks.spawn("skills", async move {
            let all = async {
                let mut told = skills.store.topics().subscribe(Topic::Skill);
                loop {
                    match skills.work(analysers.as_deref()).await {
                        Ok(true) => {}
                        Ok(false) => {
                            let _ = tokio::time::timeout(LOOK_EVERY, told.changed()).await;
                        }
                        Err(error) => {
                            tracing::warn!(error = %error, "parsing or scanning skills failed; it is tried again");
                            tokio::time::sleep(PAUSE).await;
                        }
                    }
                }
            };
            tokio::select! { () = all => {}, () = cancel.cancelled() => {} }
        });
    }

    /// Removes uploads, contents and icons that nothing has named for a day; gives how many objects went.
    pub async fn collect(&self) -> Result<u64, SkillError> {
        let before_ms = self.store.clock().now_ms() - KEPT_MS;
        let kept =
            Kept { skills: self.store.contents_in_use().await?, icons: self.store.icons_in_use().await? };
        let Collected { uploads, contents } = self.objects.collect(before_ms, &kept).await?;
        Ok(uploads + contents)
    }

    /// One piece of work; false where there is none.
    async fn work(&self, analysers: Option<&dyn Analyse>) -> Result<bool, SkillError> {
        Ok(self.parse_next().await? || self.scan_next(analysers).await?)
    }

    /// Scans one version that waits, or that was scanned by other rules; false where there is none.
    pub async fn scan_next(&self, analysers: Option<&dyn Analyse>) -> Result<bool, SkillError> {
        let now_ms = self.store.clock().now_ms();
        let until_ms = now_ms + LEASE_MS;
        let mut rules = self.scanner.rules_version();
        if let Some(analysers) = analysers {
            rules = format!("{rules}+{}", analysers.version());
        }
        let wanted = rules.clone();
        let claimed: Result<Option<SkillVersion>, SkillError> = self
            .store
            .write(move |tx| Box::pin(async move { Ok(tx.claim_version(&wanted, now_ms, until_ms).await?) }))
            .await;
        let Some(version) = claimed? else { return Ok(false) };
        let report = if version.scan_attempts > ATTEMPTS_MAX {
            unreadable("scanning it ended the server several times", &rules)
        } else {
            let renew = || {
                let (id, number) = (version.skill_id.clone(), version.version.clone());
                let until_ms = self.store.clock().now_ms() + LEASE_MS;
                self.store
                    .write(move |tx| Box::pin(async move { tx.renew_scan(&id, &number, until_ms).await }))
            };
            match kept(self.report(&version, analysers, &rules), renew).await {
                Ok(report) => report,
                Err(error) => {
                    let until_ms = self.store.clock().now_ms() + AGAIN_MS;
                    let (id, number) = (version.skill_id, version.version);
                    self.store
                        .write::<_, SkillError, _>(move |tx| {
                            Box::pin(async move { Ok(tx.release_scan(&id, &number, until_ms).await?) })
                        })
                        .await?;
                    return Err(error);
                }
            }
        };
        self.record(version, report, rules).await?;
        Ok(true)
    }

    async fn report(
        &self,
        version: &SkillVersion,
        analysers: Option<&dyn Analyse>,
        rules: &str,
    ) -> Result<Report, SkillError> {
        let content = match self.objects.get_skill(&version.content_hash).await {
            Ok(content) => content,
            Err(crate::object::ObjectError::NotFound) => {
                return Ok(unreadable("its content is not there", rules));
            }
            Err(error) => return Err(error.into()),
        };
        let (scanner, manifest, hash) =
            (self.scanner.clone(), version.manifest.clone(), version.content_hash.clone());
        let scanned = blocking(move || {
            let scanner = scanner.get()?;
            let Ok(files) = package::unpack(&content) else { return Ok(None) };
            // What is stored is what was pinned, or nothing is said about it.
            let content_hash = creel_wire::skill_content::content_hash(&files);
            if content_hash != hash {
                return Ok(None);
            }
            let package = Arc::new(Package { manifest, files, content_hash });
            let report = scanner.scan(&package);
            Ok::<_, ScannerError>(Some((package, report)))
        });
        let Some((package, mut report)) = scanned.await?? else {
            return Ok(unreadable("its content is not what was uploaded", rules));
        };
        if let Some(analysers) = analysers {
            let analysis = tokio::time::timeout(ANALYSERS_WITHIN, analysers.analyse(package)).await;
            let late = |_| Analysis::failed("beside the rules", "they took too long");
            let Analysis { findings, unread } = analysis.unwrap_or_else(late);
            report.add(findings, unread);
        }
        report.rules_version = rules.to_owned();
        Ok(report)
    }

    async fn record(&self, scanned: SkillVersion, report: Report, rules: String) -> Result<(), SkillError> {
        let now_ms = self.store.clock().now_ms();
        let actor = Actor::creel(scanned.account_id.clone(), "ScanSkillVersion", self.ids.request_id());
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    // Somebody may have decided about it meanwhile, or deleted it. The skill is locked before its version,
                    // as everywhere.
                    tx.lock_skills(&scanned.account_id, &[scanned.skill_id.to_string()]).await?;
                    let found = tx.find_version(&scanned.skill_id, &scanned.version).await?;
                    let Some(mut version) = found else { return Ok(()) };
                    actor.audit(tx, &[version.skill_id.as_str(), &version.version], now_ms).await?;
                    let policy = tx.skill_policy(&version.account_id).await?;
                    version.scan_score = Some(i64::from(report.score));
                    version.report = Some(report);
                    version.scan_rules = rules;
                    version.scanned_at_ms = Some(now_ms);
                    tx.set_version_report(&version).await?;
                    let before = version.publish_status;
                    super::version::judge_again(tx, &mut version, &policy).await?;
                    if version.publish_status != before {
                        super::version::changed(tx, &actor).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// A report that holds a version.
fn unreadable(reason: &str, rules: &str) -> Report {
    Report {
        score: 0,
        findings: Vec::new(),
        unread: vec![Unread { file: String::new(), reason: reason.to_owned() }],
        files_total: 0,
        bytes_total: 0,
        bytes_read: 0,
        rules_version: rules.to_owned(),
    }
}
