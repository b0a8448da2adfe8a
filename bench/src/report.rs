//! What a run has measured: as data, as text, as a page, against another run, and against what was promised.

mod chart;
mod claims;
mod compare;
mod csv;
mod html;
mod machine;
mod model;
mod publish;
mod spread;
mod table;

pub use compare::{Comparison, compare};
pub use csv::csv;
pub use html::html;
pub use machine::Machine;
pub(crate) use machine::now;
pub(crate) use model::VERSION;
pub use model::{Latency, Report, Round, RunSettings, ScenarioReport, TargetReport, TargetResult};
pub use publish::{publish, results_page};
pub use spread::Spread;
pub use table::{claims_text, scenario_table};
