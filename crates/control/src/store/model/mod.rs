//! Rows of model groups, providers and models. Lists page by offset: an account has at most 1,000 groups, so that
//! what lies before a page is short where it matters.

mod directory;
mod effective;
mod group;
mod llm;
mod provider;

use sea_query::{Expr, ExprTrait, Func, LikeExpr, SimpleExpr};

pub(super) use effective::{EFFECTIVE_GROUP, HAS_GROUP, HAS_NO_GROUP};
pub use group::group_list_statement;
pub use llm::model_list_statement;
pub use provider::provider_list_statement;

/// `part` somewhere in `column`, in any case of ASCII letters.
fn contains(table: &'static str, column: &'static str, part: &str) -> SimpleExpr {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for character in part.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character.to_ascii_lowercase());
    }
    pattern.push('%');
    Expr::expr(Func::lower(Expr::col((table, column)))).like(LikeExpr::new(pattern).escape('!'))
}
