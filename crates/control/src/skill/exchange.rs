//! Versions that are given to other Creels and taken from them, as [`creel_skills::bundle`] has it.
//!
//! What is taken is a package from another source and nothing more: read, scanned and judged here. The key that signed
//! it is the source, and an account's policy names the keys that it takes skills from.

use creel_skills::bundle::{self, Record, RecordDecision, bad};
use creel_skills::package::{self, Package, PackageError};
use creel_wire::id::SkillId;

use super::package::blocking;
use super::{PublishStatus, ScanStatus, SkillError, SkillVersion, Skills};
use crate::access::Actor;
use crate::object::{FileKind, UploadGrant};
use crate::seal::{PublicKey, SealKey};

/// Before the public key (base64) of the Creel that signed what was imported.
pub const SOURCE_CREEL: &str = "creel:";

/// A version as a file among the uploads, and what reads it there for some minutes.
#[derive(Debug)]
pub struct Exported {
    pub grant: UploadGrant,
    pub object_key: String,
    pub etag: String,
    /// What the version comes from where it is imported.
    pub source: String,
}

impl Skills {
    /// Puts a version with its record into one signed file.
    ///
    /// # Errors
    /// Where it was withdrawn or not scanned yet, or is too large for one file.
    pub async fn export(
        &self,
        actor: Actor,
        skill_id: &SkillId,
        number: &str,
    ) -> Result<Exported, SkillError> {
        let version = self.version(&actor.account_id, skill_id, number).await?;
        let refused = match (version.publish_status, version.scan_status) {
            (PublishStatus::Withdrawn, _) => Some(PublishStatus::Withdrawn.as_str()),
            (_, ScanStatus::Scanning) => Some(ScanStatus::Scanning.as_str()),
            _ => None,
        };
        if let Some(status) = refused {
            return Err(SkillError::WrongStatus { version: version.version, status, action: "exported" });
        }
        let content = self.objects.get_skill(&version.content_hash).await?;
        let record = record(version, actor.principal_name(), self.store.clock().now_ms());
        let name = format!("{}-{}.creel-skill", record.slug, record.version);
        let key = self.key.clone();
        let bytes = blocking(move || write(&key, &record, &content)).await?;
        let bytes = bytes.map_err(|_| SkillError::ExportTooLarge)?;
        if bytes.len() as u64 > FileKind::Skill.bytes_max() {
            return Err(SkillError::ExportTooLarge);
        }
        let grant = self.objects.grant_about(actor, FileKind::Skill, Some(skill_id.to_string())).await?;
        let session = self.objects.open_token(grant.key_id.as_str(), &grant.token)?;
        let object_key = format!("{}/{name}", grant.prefix);
        let mut writing = self.objects.begin(&session, &object_key, None, Some(bytes.len() as u64)).await?;
        writing.push(&bytes).await?;
        let etag = writing.finish(None).await?.etag();
        Ok(Exported { grant, object_key, etag, source: source(&self.key.public()) })
    }
}

fn source(key: &PublicKey) -> String {
    format!("{SOURCE_CREEL}{}", key.to_base64())
}

fn record(version: SkillVersion, exported_by: String, now_ms: i64) -> Record {
    let from = version.provenance;
    Record {
        slug: version.manifest.name,
        version: version.version,
        content_hash: version.content_hash,
        change_log: version.change_log,
        uploaded_by: from.uploaded_by,
        uploaded_from: from.uploaded_from,
        package_hash: from.package_hash,
        source: from.source,
        created_at_ms: version.created_at_ms,
        exported_by,
        exported_at_ms: now_ms,
        publish_status: version.publish_status.as_str().to_owned(),
        scan_status: version.scan_status.as_str().to_owned(),
        scan_reason: version.scan_reason,
        scan_rules: version.scan_rules,
        scanned_at_ms: version.scanned_at_ms,
        report: version.report,
        decision: version.decision.map(|decided| RecordDecision {
            by: decided.by,
            decision: decided.decision.as_str().to_owned(),
            reason: decided.reason,
            at_ms: decided.at_ms,
        }),
    }
}

/// CPU only. `content` is the tar that is kept.
fn write(key: &SealKey, record: &Record, content: &[u8]) -> Result<Vec<u8>, PackageError> {
    let packed = bundle::compressed(content)?;
    bundle::write(&key.public().to_base64(), record, &packed, |text| key.sign(text.as_bytes()))
}

/// Reads a bundle: its package, where it comes from, and what is said of it there. CPU only.
///
/// # Errors
/// `Package.BadBundle` where it was changed or contradicts itself; else as any package.
pub(super) fn import(bytes: &[u8]) -> Result<(Package, String, Record), PackageError> {
    let bundle = bundle::read(bytes)?;
    let key = PublicKey::from_base64(bundle.key).map_err(|_| bad("its key is none"))?;
    if !key.verifies(bundle.signed.as_bytes(), bundle.signature) {
        return Err(bad("it was changed after it was signed, or signed by another key than it names"));
    }
    let mut package = package::read(bundle.package)?;
    if package.manifest.name != bundle.record.slug || package.content_hash != bundle.record.content_hash {
        return Err(bad("its package is not the one that its record is about"));
    }
    package.manifest.version = Some(bundle.record.version.clone());
    Ok((package, source(&key), bundle.record))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SealKey {
        SealKey::from_base64(&SealKey::generate_base64()).unwrap()
    }

    fn skill(name: &str) -> Package {
        package::read(format!("---\nname: {name}\ndescription: b\n---\nText.\n").as_bytes()).unwrap()
    }

    fn record_of(package: &Package) -> Record {
        Record {
            slug: package.manifest.name.clone(),
            version: "1.0.0".into(),
            content_hash: package.content_hash.clone(),
            change_log: String::new(),
            uploaded_by: "somebody".into(),
            uploaded_from: String::new(),
            package_hash: "0".repeat(64),
            source: "upload".into(),
            created_at_ms: 1,
            exported_by: "somebody".into(),
            exported_at_ms: 2,
            publish_status: "PUBLISHED".into(),
            scan_status: "PASSED".into(),
            scan_reason: String::new(),
            scan_rules: "1".into(),
            scanned_at_ms: Some(1),
            report: None,
            decision: None,
        }
    }

    fn refusal(bytes: &[u8]) -> &'static str {
        import(bytes).unwrap_err().code
    }

    #[test]
    fn what_one_creel_writes_another_reads() {
        let (key, package) = (key(), skill("fish"));
        let bytes = write(&key, &record_of(&package), &package::pack(&package.files)).unwrap();
        let (read, from, record) = import(&bytes).unwrap();
        assert_eq!((&read.files, &read.content_hash), (&package.files, &package.content_hash));
        assert_eq!(read.manifest.version.as_deref(), Some("1.0.0"));
        assert_eq!(from, format!("creel:{}", key.public().to_base64()));
        assert_eq!(record, record_of(&package));
    }

    #[test]
    fn no_byte_can_be_changed_on_the_way() {
        let package = skill("fish");
        let bytes = write(&key(), &record_of(&package), &package::pack(&package.files)).unwrap();
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert!(import(&other).is_err(), "{place}");
        }
    }

    #[test]
    fn a_bundle_that_contradicts_itself_is_refused() {
        let (key, fish, crab) = (key(), skill("fish"), skill("crab"));
        let crabs = package::pack(&crab.files);
        assert_eq!(refusal(&write(&key, &record_of(&fish), &crabs).unwrap()), "Package.BadBundle");
        let named = Record { slug: "fish".into(), ..record_of(&crab) };
        assert_eq!(refusal(&write(&key, &named, &crabs).unwrap()), "Package.BadBundle");
        // Another's name on what was signed by somebody else.
        let stolen = bundle::write(&key.public().to_base64(), &record_of(&crab), &crabs, |text| {
            super::tests::key().sign(text.as_bytes())
        });
        assert_eq!(refusal(&stolen.unwrap()), "Package.BadBundle");
    }

    #[test]
    fn what_is_in_it_has_the_limits_of_any_package() {
        let (key, fish) = (key(), skill("fish"));
        let bomb = write(&key, &record_of(&fish), &vec![0; 64 << 20]).unwrap();
        assert_ne!(refusal(&bomb), "Package.BadBundle");
        let within = write(&key, &record_of(&fish), &package::pack(&fish.files)).unwrap();
        let signed = |text: &str| key.sign(text.as_bytes());
        let nested = bundle::write(&key.public().to_base64(), &record_of(&fish), &within, signed).unwrap();
        assert_eq!(refusal(&nested), "Package.ReadFailed");
        let nothing = bundle::write(&key.public().to_base64(), &record_of(&fish), b"", signed).unwrap();
        assert!(import(&nothing).is_err());
    }
}
