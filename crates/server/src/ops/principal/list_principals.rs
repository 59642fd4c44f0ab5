//! ListPrincipals: who may call for the account.

use creel_control::access::Actor;
use creel_control::principal::PrincipalFilter;
use creel_wire::error::ApiError;
use creel_wire::ops::principal::list_principals::{Input, Output, Principals};

use super::shown_principal;
use crate::app::App;
use crate::ops::page_by_token;

pub(crate) async fn handle(app: &App, actor: Actor, input: Input) -> Result<Output, ApiError> {
    let (after, limit) = page_by_token(input.next_token.as_deref(), input.max_results, 100, 100)?;
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let filter =
        PrincipalFilter { name: filled(input.principal_name), end_user_id: filled(input.end_user_id) };
    let listed = app.principals.list(&actor.account_id, &filter, after, limit).await;
    let page = listed.map_err(super::api_error)?;
    Ok(Output {
        next_token: page.next.map(|cursor| cursor.to_token()),
        principals: Some(page.items.into_iter().map(|item| shown_principal!(Principals, item)).collect()),
    })
}
