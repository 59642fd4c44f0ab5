//! Events in the forms that others read.

use creel_control::audit::StoredEvent;
use serde_json::{Value, json};

use super::super::shown_time;

/// A form of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli::admin) enum Format {
    /// As DescribeAuditEvents gives it
    Native,
    /// With the fields of ActionTrail and CloudTrail
    Cloudtrail,
    /// OCSF 1.3, API Activity (class 6003)
    Ocsf,
}

impl Format {
    pub(super) fn write(self, stored: &StoredEvent, region: &str) -> Value {
        match self {
            Format::Native => native(stored),
            Format::Cloudtrail => cloudtrail(stored, region),
            Format::Ocsf => ocsf(stored, region),
        }
    }
}

/// The names of DescribeAuditEvents.
pub(super) fn native(stored: &StoredEvent) -> Value {
    let event = &stored.event;
    json!({
        "EventId": event.id,
        "EventTime": shown_time(event.at_ms),
        "EventTimeMs": event.at_ms,
        "AccountId": event.account_id,
        "Principal": event.principal,
        "AccessKeyId": event.key_id,
        "EventName": event.action,
        "ApiVersion": event.version,
        "Resources": event.resources(),
        "Decision": event.decision,
        "Outcome": event.outcome,
        "ErrorCode": event.code,
        "Calls": event.calls,
        "SourceIpAddress": event.source_address,
        "UserAgent": event.user_agent,
        "Batch": stored.batch,
    })
}

/// Whether the call can have changed nothing, as its name says.
fn reads(action: &str) -> bool {
    ["Describe", "List", "Get"].iter().any(|verb| action.starts_with(verb))
}

fn absent_if_empty(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn cloudtrail(stored: &StoredEvent, region: &str) -> Value {
    let event = &stored.event;
    let resources: Vec<Value> =
        event.resources().into_iter().map(|id| json!({"ARN": id, "accountId": event.account_id})).collect();
    json!({
        "eventVersion": "1.08",
        "eventID": event.id,
        "requestID": event.id,
        "eventTime": shown_time(event.at_ms),
        "eventType": "ApiCall",
        "eventCategory": "Management",
        "eventSource": "creel",
        "eventName": event.action,
        "apiVersion": absent_if_empty(&event.version),
        "awsRegion": region,
        "acsRegion": region,
        "sourceIPAddress": absent_if_empty(&event.source_address).unwrap_or("creel.internal"),
        "userAgent": absent_if_empty(&event.user_agent),
        "userIdentity": {
            "type": event.principal.split(':').next(),
            "principalId": event.principal,
            "userName": event.principal,
            "accountId": event.account_id,
            "accessKeyId": event.key_id,
        },
        "recipientAccountId": event.account_id,
        "readOnly": reads(&event.action),
        "resources": resources,
        "errorCode": absent_if_empty(&event.code),
        "managementEvent": true,
        "additionalEventData": {"decision": event.decision, "outcome": event.outcome, "calls": event.calls, "batch": stored.batch},
    })
}

/// The class's activity: 1 Create, 2 Read, 3 Update, 4 Delete, 99 Other.
fn activity(action: &str) -> (i64, &'static str) {
    let begins = |verbs: &[&str]| verbs.iter().any(|verb| action.starts_with(verb));
    match action {
        _ if begins(&["Create", "BatchCreate", "Grant", "Add"]) => (1, "Create"),
        _ if reads(action) => (2, "Read"),
        _ if begins(&["Update", "Set", "Modify", "Config", "Batch", "Tag", "Rename"]) => (3, "Update"),
        _ if begins(&["Delete", "Remove", "Untag"]) => (4, "Delete"),
        _ => (99, "Other"),
    }
}

fn ocsf(stored: &StoredEvent, region: &str) -> Value {
    let event = &stored.event;
    let (activity_id, activity_name) = activity(&event.action);
    let succeeded = event.outcome == "Success";
    let denied = event.decision == "Denied";
    let endpoint = match absent_if_empty(&event.source_address) {
        Some(address) => json!({"ip": address}),
        None => json!({"name": "creel"}),
    };
    let resources: Vec<Value> = event.resources().into_iter().map(|id| json!({"uid": id})).collect();
    json!({
        "class_uid": 6003,
        "class_name": "API Activity",
        "category_uid": 6,
        "category_name": "Application Activity",
        "activity_id": activity_id,
        "activity_name": activity_name,
        "type_uid": 600_300 + activity_id,
        "type_name": format!("API Activity: {activity_name}"),
        "time": event.at_ms,
        "count": event.calls,
        "severity_id": if denied { 2 } else { 1 },
        "severity": if denied { "Low" } else { "Informational" },
        "status_id": if succeeded { 1 } else { 2 },
        "status": event.outcome,
        "status_code": absent_if_empty(&event.code),
        "action_id": if denied { 2 } else { 1 },
        "action": event.decision,
        "metadata": {
            "version": "1.3.0",
            "uid": event.id,
            "log_name": "audit",
            "profiles": ["cloud", "security_control"],
            "product": {"name": "Creel", "vendor_name": "Creel", "version": env!("CARGO_PKG_VERSION")},
        },
        "cloud": {"provider": "Creel", "region": region, "account": {"uid": event.account_id}},
        "api": {
            "operation": event.action,
            "version": absent_if_empty(&event.version),
            "service": {"name": "creel"},
            "request": {"uid": event.id},
            "response": {"error": absent_if_empty(&event.code)},
        },
        "actor": {
            "user": {
                "name": event.principal,
                "uid": event.principal,
                "credential_uid": event.key_id,
                "account": {"uid": event.account_id},
            },
        },
        "src_endpoint": endpoint,
        "http_request": {"user_agent": absent_if_empty(&event.user_agent)},
        "resources": resources,
    })
}

#[cfg(test)]
mod tests {
    use creel_control::audit::Event;

    use super::*;

    fn event() -> StoredEvent {
        let event = Event {
            id: "0F6A".into(),
            account_id: "11".into(),
            principal: "user:ann".into(),
            key_id: "LTAI1".into(),
            action: "DeleteDesktops".into(),
            version: "2020-09-30".into(),
            resources_json: r#"["ecd-1","ecd-2"]"#.into(),
            decision: "Denied".into(),
            outcome: "Failure".into(),
            code: "NoPermission".into(),
            calls: 1,
            source_address: "192.0.2.7".into(),
            user_agent: "sdk/1".into(),
            at_ms: 1_767_323_045_000,
        };
        StoredEvent { event, tag: String::new(), batch: Some(7) }
    }

    #[test]
    fn each_format() {
        let text = |format: Format| {
            let text = serde_json::to_string_pretty(&format.write(&event(), "cn-hangzhou")).unwrap();
            text.replace(concat!("\"", env!("CARGO_PKG_VERSION"), "\""), "\"[version]\"")
        };
        insta::assert_snapshot!("native", text(Format::Native));
        insta::assert_snapshot!("cloudtrail", text(Format::Cloudtrail));
        insta::assert_snapshot!("ocsf", text(Format::Ocsf));
    }

    #[test]
    fn each_action_has_an_activity() {
        for (action, id) in [
            ("CreateDesktops", 1),
            ("BatchCreateLlmTemplates", 1),
            ("DescribeDesktops", 2),
            ("ListModelTemplates", 2),
            ("UpdateModelTemplate", 3),
            ("BatchModifyEntitlement", 3),
            ("RemoveRuntimeModelTemplate", 4),
            ("SendAgentMessage", 99),
        ] {
            assert_eq!(activity(action).0, id, "{action}");
        }
    }
}
