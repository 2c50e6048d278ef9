//! Something of each crate, so that all of them are linked.

use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Record {
    pub name: String,
    pub values: Vec<f64>,
    pub at: String,
}

pub fn records(count: usize) -> Vec<Record> {
    let record = |number| Record {
        name: format!("record-{number}"),
        values: (0..8).map(|_| rand::thread_rng().gen()).collect(),
        at: chrono::Utc::now().to_rfc3339(),
    };
    (0..count).into_par_iter().map(record).collect()
}

pub fn as_text(records: &[Record]) -> String {
    serde_json::to_string(records).unwrap()
}

pub fn names_in(text: &str) -> usize {
    regex::Regex::new(r"record-\d+").unwrap().find_iter(text).count()
}

pub fn functions_in(source: &str) -> usize {
    let file = syn::parse_file(source).unwrap();
    file.items.iter().filter(|item| matches!(item, syn::Item::Fn(_))).count()
}

pub fn reached(count: usize) -> usize {
    let mut graph = petgraph::graph::Graph::<usize, u32>::new();
    let nodes: Vec<_> = (0..count).map(|number| graph.add_node(number)).collect();
    for pair in nodes.windows(2) {
        graph.add_edge(pair[0], pair[1], 1);
    }
    petgraph::algo::dijkstra(&graph, nodes[0], None, |edge| *edge.weight()).len()
}

pub fn summed() -> usize {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let tasks: Vec<_> = (0..8).map(|number| tokio::spawn(async move { number })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    })
}
