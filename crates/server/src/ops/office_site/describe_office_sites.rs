//! DescribeOfficeSites: the sites of an account.

use creel_control::access::Actor;
use creel_control::office_site::{OfficeSite, OfficeSiteFilter};
use creel_control::page::Page;
use creel_wire::error::ApiError;
use creel_wire::ops::office_site::describe_office_sites::{
    Input, OfficeSites, OfficeSitesResourceAmounts, Output,
};
use creel_wire::time::TimeFormat;

use crate::app::App;
use crate::ops::{page_by_token, shown_time};

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    app.check_region(&input.region_id)?;
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 10, 500)?;
    // Every site is simple, registered, unprotected and without a VPC.
    let nothing = input.office_site_type.is_some_and(|kind| kind != "SIMPLE")
        || input.status.is_some_and(|status| status != "REGISTERED")
        || input.security_protection.is_some_and(|kind| kind != "OFF")
        || input.vpc_id.is_some();
    let page = if nothing {
        Page { items: Vec::new(), total: 0, next: None }
    } else {
        let filter = OfficeSiteFilter { region_id: input.region_id, ids: input.office_site_id };
        app.office_sites.list(&actor.account_id, &filter, after, limit).await.map_err(super::api_error)?
    };
    Ok(Output {
        next_token: page.next.map(|cursor| cursor.to_token()),
        total_count: Some(page.total),
        office_sites: Some(page.items.into_iter().map(shown).collect()),
    })
}

fn shown(site: OfficeSite) -> OfficeSites {
    let amount = OfficeSitesResourceAmounts {
        amount: Some(site.runtime_count),
        resource_type: Some("desktop".to_owned()),
    };
    OfficeSites {
        office_site_id: Some(site.id.to_string()),
        name: Some(site.name),
        status: Some("REGISTERED".to_owned()),
        office_site_type: Some("SIMPLE".to_owned()),
        creation_time: Some(shown_time(site.created_at_ms, TimeFormat::Minutes)),
        cidr_block: site.attributes.cidr_block,
        desktop_access_type: Some(
            site.attributes
                .desktop_access_type
                .map_or_else(|| "INTERNET".to_owned(), |kind| kind.to_uppercase()),
        ),
        desktop_count: Some(site.runtime_count),
        total_eds_count: Some(site.runtime_count),
        total_resource_amount: Some(site.runtime_count),
        resource_amounts: Some(vec![amount]),
        enable_admin_access: Some(site.attributes.enable_admin_access),
        enable_internet_access: Some(site.attributes.enable_internet_access),
        need_verify_zero_device: Some(site.attributes.need_verify_zero_device),
        vpc_type: Some(site.attributes.vpc_type.unwrap_or_else(|| "basic".to_owned())),
        protocol_type: Some("ASP".to_owned()),
        security_protection: Some("OFF".to_owned()),
        mfa_enabled: Some(false),
        sso_enabled: Some(false),
        ..OfficeSites::default()
    }
}
