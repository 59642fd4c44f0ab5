//! CreateDesktops: records the wish for runtimes; reconciliation makes them.

use creel_control::access::Actor;
use creel_control::command::NewCommand;
use creel_control::runtime::{AssignMode, CreateRuntimes, Disk, NameSuffix, RuntimeAttributes, RuntimeBatch};
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::ops::runtime::create_desktops::{
    BundleModels, DesktopAttachment, Input, Output, UserCommands,
};

use crate::app::App;

/// Where a script of a first start and its kind come in.
const COMMAND_PARAMETERS: (&str, &str) = ("UserCommands", "UserCommands");

pub(crate) async fn handle(app: &App, actor: Actor, mut input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    check_encryption(input.volume_encryption_enabled, input.volume_encryption_key.as_deref())?;
    for model in &input.bundle_models {
        check_encryption(model.volume_encryption_enabled, model.volume_encryption_key.as_deref())?;
    }
    let office_site_id = input
        .office_site_id
        .take()
        .or(input.directory_id.take())
        .ok_or_else(|| ApiError::missing("OfficeSiteId"))?;
    let member_ip = input.desktop_member_ip.take();
    let request = CreateRuntimes {
        region_id: std::mem::take(&mut input.region_id),
        office_site_id,
        assign_mode: match input.user_assign_mode.as_deref() {
            Some("PER_USER") => AssignMode::PerUser,
            _ => AssignMode::All,
        },
        name_suffix: name_suffix(&input),
        charge_type: input.charge_type.take().unwrap_or_else(|| "PostPaid".to_owned()),
        tags: std::mem::take(&mut input.tag)
            .into_iter()
            .map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default()))
            .collect(),
        resource_group_id: input
            .resource_group_id
            .take()
            .filter(|id| !id.is_empty())
            .map(|id| crate::ops::resource_group::group_id(&id))
            .transpose()?,
        monthly_credits: input.purchase_options.take().and_then(|options| options.monthly_credits),
        first_start: std::mem::take(&mut input.user_commands)
            .into_iter()
            .map(first_start)
            .collect::<Result<_, _>>()?,
        batches: batches(input),
    };
    if member_ip.is_some() {
        return Err(member_ip_error(request.batches.iter().map(|batch| batch.amount).sum()));
    }
    let ids = app.runtimes.create(actor, request).await.map_err(super::api_error)?;
    Ok(Output { desktop_id: Some(ids.iter().map(ToString::to_string).collect()), order_id: None })
}

/// Bundle models stand on their own; without them the parameters beside them are the one batch.
fn batches(input: Input) -> Vec<RuntimeBatch> {
    let policy_group_id = input.policy_group_id;
    let of_model = |model: BundleModels| RuntimeBatch {
        bundle_id: model.bundle_id,
        amount: model.amount.unwrap_or(0),
        name: model.desktop_name,
        host_name: model.hostname,
        users: model.end_user_ids,
        attributes: RuntimeAttributes {
            policy_group_id: policy_group_id.clone(),
            ..RuntimeAttributes::default()
        },
        ..RuntimeBatch::default()
    };
    let mut batches: Vec<RuntimeBatch> = input.bundle_models.into_iter().map(of_model).collect();
    if batches.is_empty() || input.bundle_id.is_some() || input.desktop_attachment.is_some() {
        let (image_id, desktop_type, attributes) = attached(input.desktop_attachment, policy_group_id);
        batches.push(RuntimeBatch {
            bundle_id: input.bundle_id,
            image_id,
            desktop_type,
            amount: input.amount.unwrap_or(1),
            name: input.desktop_name,
            host_name: input.hostname,
            users: input.end_user_id,
            attributes,
        });
    }
    batches
}

fn attached(
    attachment: Option<DesktopAttachment>,
    policy_group_id: Option<String>,
) -> (Option<String>, Option<String>, RuntimeAttributes) {
    let Some(attachment) = attachment else {
        return (None, None, RuntimeAttributes { policy_group_id, ..RuntimeAttributes::default() });
    };
    let attributes = RuntimeAttributes {
        policy_group_id,
        system_disk: Disk {
            size_gib: attachment.system_disk_size,
            category: attachment.system_disk_category,
            performance_level: attachment.system_disk_per_level,
        },
        data_disk: Disk {
            size_gib: attachment.data_disk_size,
            category: attachment.data_disk_category,
            performance_level: attachment.data_disk_per_level,
        },
    };
    (attachment.image_id, attachment.desktop_type, attributes)
}

/// `DesktopNameSuffix` asks for a number even on a single runtime; the newer `DesktopNameModel` says for all.
fn name_suffix(input: &Input) -> NameSuffix {
    let model = input.desktop_name_model.as_ref().and_then(|model| model.desktop_name_is_suffix);
    match (model, input.desktop_name_suffix) {
        (Some(true), _) | (None, Some(true)) => NameSuffix::All,
        (Some(false), _) => NameSuffix::None,
        (None, _) => NameSuffix::OfSeveral,
    }
}

fn first_start(command: UserCommands) -> Result<NewCommand, ApiError> {
    let encoding = command.content_encoding.as_deref().unwrap_or("Base64");
    let content = command.content.ok_or_else(|| ApiError::missing("Content"))?.expose().to_owned();
    let kind = command.content_type.ok_or_else(|| ApiError::missing("ContentType"))?;
    crate::ops::command::new_command(COMMAND_PARAMETERS, &kind, content, encoding, None)
}

/// Disks are the host's, so no key of this API encrypts them: who asks for it reads that before anything is made.
fn check_encryption(enabled: Option<bool>, key: Option<&str>) -> Result<(), ApiError> {
    let refused = |code, message: &str| Err(ApiError::new(code, message));
    match (enabled.unwrap_or(false), key.filter(|key| !key.is_empty())) {
        (false, None) => Ok(()),
        (true, None) => refused(
            ErrorCode::ENCRYPTION_KEY_MISSING,
            "VolumeEncryptionKey is missing. No keys are kept here: encrypt the disks of the host instead.",
        ),
        (true, Some(_)) => refused(
            ErrorCode::ENCRYPTION_KEY_NOT_FOUND,
            "There is no such key: none are kept here. Encrypt the disks of the host instead.",
        ),
        (false, Some(_)) => refused(
            ErrorCode::ENCRYPTION_NOT_ENABLED,
            "VolumeEncryptionKey is given and VolumeEncryptionEnabled is not true.",
        ),
    }
}

fn member_ip_error(amount: i64) -> ApiError {
    if amount > 1 {
        return ApiError::new(
            ErrorCode::MEMBER_IP_OF_SEVERAL,
            format!("One DesktopMemberIp cannot be the address of {amount} runtimes. Leave it out."),
        );
    }
    ApiError::new(
        ErrorCode::UNSUPPORTED_PARAMETER,
        "The parameter DesktopMemberIp is not supported: a runtime has no address of its own. Leave it out.",
    )
}
