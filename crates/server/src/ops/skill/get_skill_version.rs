//! GetSkillVersion: a version with everything that is known about it.

use std::collections::BTreeMap;

use creel_control::access::Actor;
use creel_control::skill::{Pending, SkillVersion};
use creel_skills::bundle::Record;
use creel_skills::report::{Finding, Unread as NotRead};
use creel_wire::error::ApiError;
use creel_wire::ops::skill::get_skill_version::{
    Findings, Input, Origin, OriginFindings, Output, Pending as Waiting, Unread,
};
use creel_wire::secret::Secret;
use creel_wire::time::TimeFormat;

use super::{MASKED, api_error, masked, skill_id};
use crate::app::App;
use crate::ops::shown_time;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let id = skill_id(&input.skill_id)?;
    let found = app.skills.version(&actor.account_id, &id, &input.skill_version).await;
    let mut version = found.map_err(api_error)?;
    let env = app.skills.pending_env(&version).map_err(api_error)?;
    let waiting = (version.pending != Pending::default()).then(|| waiting(app, &mut version.pending, env));
    Ok(Output { pending: waiting, ..shown(version) })
}

fn waiting(app: &App, pending: &mut Pending, env: Option<BTreeMap<String, Secret>>) -> Waiting {
    Waiting {
        skill_channel: pending.channel.map(|channel| channel.as_str().to_owned()),
        display_name: pending.display_name.take(),
        description: pending.description.take(),
        skill_icon_url: pending.icon.as_deref().map(|icon| app.objects.icon_url(&app.admin_url, icon)),
        env_vars: env.map(masked),
        api_key: pending.has_api_key().then(|| MASKED.to_owned()),
    }
}

fn shown(version: SkillVersion) -> Output {
    let time = |at_ms| shown_time(at_ms, TimeFormat::Seconds);
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let (manifest, from) = (version.manifest, version.provenance);
    let mut output = Output {
        skill_id: Some(version.skill_id.to_string()),
        slug: Some(manifest.name),
        version: Some(version.version),
        content_hash: Some(version.content_hash),
        content_size: Some(version.content_bytes),
        change_log: given(version.change_log),
        required_env_vars: Some(manifest.required_env),
        required_bins: Some(manifest.required_bins),
        api_key_env_var: manifest.api_key_env,
        license: manifest.license,
        publish_status: Some(version.publish_status.as_str().to_owned()),
        security_scan_status: Some(version.scan_status.as_str().to_owned()),
        security_scan_score: version.scan_score,
        security_scan_fail_reason: given(version.scan_reason),
        scan_rules: given(version.scan_rules),
        scan_time: version.scanned_at_ms.map(time),
        uploaded_by: Some(from.uploaded_by),
        uploaded_from: given(from.uploaded_from),
        package_hash: Some(from.package_hash),
        source: Some(from.source),
        created_time: Some(time(version.created_at_ms)),
        origin: version.origin.map(origin),
        ..Output::default()
    };
    if let Some(report) = version.report {
        output.bytes_total = i64::try_from(report.bytes_total).ok();
        output.bytes_read = i64::try_from(report.bytes_read).ok();
        output.findings = Some(report.findings.into_iter().map(finding).collect());
        output.unread = Some(report.unread.into_iter().map(unread).collect());
    }
    if let Some(decided) = version.decision {
        output.decision = Some(decided.decision.as_str().to_owned());
        output.decided_by = Some(decided.by);
        output.decision_reason = given(decided.reason);
        output.decision_time = Some(time(decided.at_ms));
    }
    output
}

fn origin(record: Record) -> Origin {
    let time = |at_ms| shown_time(at_ms, TimeFormat::Seconds);
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let (score, findings) = record.report.map(|it| (i64::from(it.score), it.findings)).unzip();
    let mut origin = Origin {
        uploaded_by: Some(record.uploaded_by),
        uploaded_from: given(record.uploaded_from),
        package_hash: Some(record.package_hash),
        source: Some(record.source),
        created_time: Some(time(record.created_at_ms)),
        exported_by: Some(record.exported_by),
        exported_time: Some(time(record.exported_at_ms)),
        publish_status: Some(record.publish_status),
        security_scan_status: Some(record.scan_status),
        security_scan_score: score,
        security_scan_fail_reason: given(record.scan_reason),
        scan_rules: given(record.scan_rules),
        scan_time: record.scanned_at_ms.map(time),
        findings: findings.map(|found| found.into_iter().map(origin_finding).collect()),
        ..Origin::default()
    };
    if let Some(decided) = record.decision {
        origin.decision = Some(decided.decision);
        origin.decided_by = Some(decided.by);
        origin.decision_reason = given(decided.reason);
        origin.decision_time = Some(time(decided.at_ms));
    }
    origin
}

fn origin_finding(found: Finding) -> OriginFindings {
    OriginFindings {
        rule: Some(found.rule),
        severity: Some(found.severity.as_str().to_owned()),
        file: Some(found.file),
        line: found.line.map(i64::from),
        message: Some(found.message),
    }
}

fn finding(found: Finding) -> Findings {
    Findings {
        rule: Some(found.rule),
        severity: Some(found.severity.as_str().to_owned()),
        file: Some(found.file),
        line: found.line.map(i64::from),
        message: Some(found.message),
        excerpt: found.excerpt,
        analyser: Some(found.analyser),
    }
}

fn unread(it: NotRead) -> Unread {
    Unread { file: Some(it.file), reason: Some(it.reason) }
}
