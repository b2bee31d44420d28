// random_graph.h: small random graphs over everything in the registry that takes its attributes' defaults,
// and over movement with random attributes; and random feeds with the awkward numbers in them.
#pragma once
#include <map>
#include <random>

#include "ir/graph.h"

namespace mezzo::ir {

// `size` nodes besides the inputs; equal seeds give equal graphs. `primitive`: no composites.
Graph random_graph(uint64_t seed, int size, bool primitive);

std::map<std::string, Tensor> random_feeds(const Graph& graph, uint64_t seed);
// A number out of zeros of either sign, infinities, NaN, subnormals, and ordinary ones.
double awkward_number(std::mt19937_64& random);

// "" when both are bitwise equal (a NaN equals a NaN), otherwise the first difference.
std::string difference(const Tensor& a, const Tensor& b);

}  // namespace mezzo::ir
