// The text of a kind: its name, where its operands stand, and how many of them it takes.
#include <doctest/doctest.h>

#include "core/kind.hpp"

using namespace rt;

TEST_CASE("kind: a text is a name and what goes in and out, whatever the spaces between") {
  for (const Kind kind : {Kind("conv2d.backward: dy x w -> dx dw"), Kind("conv2d.backward:dy  x w->dx  dw ")}) {
    CAPTURE(kind.text());
    CHECK(kind.name() == "conv2d.backward");
    CHECK(kind.input("dy") == 0);
    CHECK(kind.input("w") == 2);
    CHECK(kind.output("dw") == 1);
    CHECK(kind.input("dx") == -1);  // an output
    CHECK(kind.output("x") == -1);
    CHECK(kind.input("d") == -1);  // the beginning of one
    CHECK(kind.input("") == -1);
    CHECK(kind.takes(3, 2));
    for (const auto& [in, out] : {std::pair(2, 2), std::pair(4, 2), std::pair(3, 1), std::pair(3, 3), std::pair(0, 0)})
      CHECK(!kind.takes(static_cast<size_t>(in), static_cast<size_t>(out)));
  }
}

TEST_CASE("kind: operands in brackets may be missing, and \"x...\" is any number") {
  const Kind report("report: loss correct control [norm] -> report");
  CHECK(report.input("norm") == 3);
  CHECK(report.takes(3, 1));
  CHECK(report.takes(4, 1));
  CHECK(!report.takes(2, 1));
  CHECK(!report.takes(5, 1));
  const Kind out("sgd.update: weights -> weights [compute]");
  CHECK(out.output("compute") == 1);
  CHECK(out.takes(1, 1));
  CHECK(out.takes(1, 2));
  CHECK(!out.takes(1, 3));
  const Kind all("convert.all: x... -> y...");
  CHECK(all.takes(1, 1));
  CHECK(all.takes(40, 40));
  const Kind some("sum: first x... -> y");
  CHECK(!some.takes(0, 1));
  CHECK(some.takes(1, 1));
  CHECK(some.takes(9, 1));
  CHECK(!some.takes(9, 2));
}

TEST_CASE("kind: kinds are equal by name, and one without operands takes any number") {
  CHECK(Kind("relu.forward: x -> y") == Kind("relu.forward: a b -> c"));
  CHECK(!(Kind("relu.forward: x -> y") == Kind("relu.backward: x -> y")));
  CHECK(Kind("relu.forward: x -> y") == "relu.forward");
  CHECK(!(Kind("relu.forward: x -> y") == "relu"));
  const Kind bare("relu.forward");
  CHECK(bare.takes(0, 0));
  CHECK(bare.takes(5, 7));
  CHECK(bare.input("x") == -1);
  const Kind nothing("nothing:");
  CHECK(nothing.name() == "nothing");
  CHECK(nothing.takes(0, 0));
  CHECK(!nothing.takes(1, 0));
}
