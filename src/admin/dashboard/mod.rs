//! The dashboard at `/` of the admin listener: pages for operators, without scripts.
//!
//! Pages are templates (`pages`) that are filled on the server from the same values as `/admin/v1`; charts and graphs are
//! SVG in the page. Each page reads a bounded number of rows. The guard (`access_guard`) is around every route: it adds the policy of
//! the browser, and asks for the operator's token, which a form exchanges for a session cookie (`login`, `session_table`). Changes are
//! forms with POST, and carry a token that only a page of this gateway knows.

mod access_guard;
mod charts;
mod context_pages;
pub mod dashboard_site;
mod flow_page;
mod login;
mod overview_page;
mod page_parts;
mod peer_pages;
mod quarantine_pages;
mod session_table;
mod static_files;
mod trace_page;

use actix_web::dev::HttpServiceFactory;
use actix_web::middleware::from_fn;
use actix_web::{Route, web};

use crate::admin::dashboard::dashboard_site::DashboardSite;

/// Adds the pages.
pub fn configure(config: &mut web::ServiceConfig, site: DashboardSite) {
    config.app_data(web::Data::new(site));
    let get = web::get;
    config
        .service(page("/", [get().to(overview_page::show)]))
        .service(page("/peers", [get().to(peer_pages::list)]))
        .service(page("/peers/{server}", [get().to(peer_pages::show), web::post().to(peer_pages::act)]))
        .service(page("/flow", [get().to(flow_page::show)]))
        .service(page("/quarantine", [get().to(quarantine_pages::list)]))
        .service(page("/quarantine/events", [get().to(quarantine_pages::list_events)]))
        .service(page("/quarantine/events/{position}", [web::post().to(quarantine_pages::act_on_event)]))
        .service(page(
            "/quarantine/{server}/{item}",
            [get().to(quarantine_pages::show), web::post().to(quarantine_pages::act)],
        ))
        .service(page("/contexts", [get().to(context_pages::list)]))
        .service(page("/contexts/{context}", [get().to(context_pages::show)]))
        .service(page("/trace", [get().to(trace_page::show)]))
        .service(page("/login", [get().to(login::form), web::post().to(login::log_in)]))
        .service(page("/logout", [web::post().to(login::log_out)]))
        .service(page("/dashboard.css", [get().to(static_files::style)]))
        .service(page("/icon.svg", [get().to(static_files::icon)]));
}

/// Returns the resource of a page, inside the guard.
fn page(path: &'static str, routes: impl IntoIterator<Item = Route>) -> impl HttpServiceFactory + 'static {
    let resource = web::resource(path).wrap(from_fn(access_guard::guard));
    routes.into_iter().fold(resource, actix_web::Resource::route)
}
