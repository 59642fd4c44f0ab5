//! CreateDesktops: records the wish for runtimes; reconciliation makes them.

use creel_control::access::Actor;
use creel_control::runtime::{AssignMode, CreateRuntimes, RuntimeAttributes, RuntimeBatch};
use creel_wire::error::{ApiError, ErrorCode};
use creel_wire::ops::runtime::create_desktops::{Input, Output};

use crate::app::App;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    if input.hostname.is_some() {
        return Err(ApiError::new(
            ErrorCode::HOSTNAME_CANNOT_CUSTOMIZE,
            "The host name of a Linux runtime cannot be chosen. Leave Hostname out.",
        ));
    }
    let office_site_id =
        input.office_site_id.or(input.directory_id).ok_or_else(|| ApiError::missing("OfficeSiteId"))?;
    let mut batches: Vec<RuntimeBatch> = input
        .bundle_models
        .into_iter()
        .map(|model| RuntimeBatch {
            bundle_id: model.bundle_id,
            amount: model.amount.unwrap_or(0),
            name: model.desktop_name,
            users: model.end_user_ids,
            ..RuntimeBatch::default()
        })
        .collect();
    // Bundle models stand on their own; without them the parameters beside them are the one batch.
    if batches.is_empty() || input.bundle_id.is_some() || input.desktop_attachment.is_some() {
        let attachment = input.desktop_attachment;
        batches.push(RuntimeBatch {
            bundle_id: input.bundle_id,
            image_id: attachment.as_ref().and_then(|attachment| attachment.image_id.clone()),
            desktop_type: attachment.and_then(|attachment| attachment.desktop_type),
            amount: input.amount.unwrap_or(1),
            name: input.desktop_name,
            users: input.end_user_id,
        });
    }
    let request = CreateRuntimes {
        region_id: input.region_id,
        office_site_id,
        batches,
        assign_mode: match input.user_assign_mode.as_deref() {
            Some("PER_USER") => AssignMode::PerUser,
            _ => AssignMode::All,
        },
        name_suffix: input.desktop_name_suffix.unwrap_or(false),
        charge_type: input.charge_type.unwrap_or_else(|| "PostPaid".to_owned()),
        tags: input
            .tag
            .into_iter()
            .filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default())))
            .collect(),
        resource_group_id: input
            .resource_group_id
            .filter(|id| !id.is_empty())
            .map(|id| crate::ops::resource_group::group_id(&id))
            .transpose()?,
        monthly_credits: input.purchase_options.and_then(|options| options.monthly_credits),
        attributes: RuntimeAttributes::default(),
    };
    let ids = app.runtimes.create(actor, request).await.map_err(super::api_error)?;
    Ok(Output { desktop_id: Some(ids.iter().map(ToString::to_string).collect()), order_id: None })
}
