// Recording: gradients on their way to their targets.
#include <doctest/doctest.h>

#include "core/tape.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/table.hpp"

using namespace rt;

TEST_CASE("tape: gradients accumulate into their targets across micro-batches") {
  Tensor x({{2, 4}}), w({{3, 4}}), b({{3}}), dw({{3, 4}}), db({{3}}), dy({{2, 3}});
  for (int i = 0; i < 8; ++i) x.as<float>()[i] = static_cast<float>(i);
  for (int i = 0; i < 6; ++i) dy.as<float>()[i] = 1;
  for (bool accumulate : {false, true}) {
    Tape tape(Tape::Mode::eager, kernel_table(), cpu_target());
    const Var vw = tape.external(w.view(), "w", true), vb = tape.external(b.view(), "b", true);
    tape.set_gradient_target(vw, tape.external(dw.view(), "dw"), accumulate);
    tape.set_gradient_target(vb, tape.external(db.view(), "db"), accumulate);
    const Var y = linear(tape, tape.external(x.view(), "x"), vw, vb);
    tape.backward(y, tape.external(dy.view(), "dy"));
    CHECK(db.as<float>()[0] == (accumulate ? 4.0f : 2.0f));
    CHECK(dw.as<float>()[1] == (accumulate ? 12.0f : 6.0f));
  }
}
