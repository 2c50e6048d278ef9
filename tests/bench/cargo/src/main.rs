//! The program that an incremental build compiles anew: cargo knows that it depends on
//! the variable.

fn main() {
    let text = bench::as_text(&bench::records(10));
    println!("{:?}", option_env!("BENCH_CHANGE"));
    println!("{} {}", bench::names_in(&text), bench::functions_in("fn main() {}"));
    println!("{} {}", bench::reached(9), bench::summed());
}
