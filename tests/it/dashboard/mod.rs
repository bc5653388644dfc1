//! The dashboard: as a browser shows it (a real one, without a screen), and as it is
//! read without one.

mod access;
mod browser;
mod browsing;
mod bulk;
mod endpoints;
mod finding;
mod following;
mod forms;
mod hostile;
mod looks;
mod pages;
mod portal;
mod portal_frames;
mod portal_links;
pub mod reader;
mod replaying;
mod setting_up;
mod signing_in;
mod watching;
