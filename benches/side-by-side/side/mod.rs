//! Sparekey beside OpenBao: the parts of the program that measures them.

pub mod audit;
pub mod chart;
pub mod engine;
pub mod floor;
pub mod lane;
pub mod load;
pub mod machine;
pub mod memory;
pub mod meter;
pub mod openbao;
pub mod page;
pub mod results;
pub mod stage;
pub mod start;
pub mod stretching;
pub mod targets;
pub mod wire;
pub mod works;
