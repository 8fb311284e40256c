"""Exchanges safetensors files with the reference implementation: check_safetensors.py RT_TESTS
The test case that this runs writes ours.safetensors into a folder and checks theirs.safetensors, which lies there."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

with tempfile.TemporaryDirectory() as folder:
    tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array(7, dtype=np.int64)}
    save_file(tensors, folder + "/theirs.safetensors", metadata={"k": "v"})
    subprocess.run([sys.argv[1], "--test-case=safetensors: a folder shared with the reference implementation"],
                   env={**os.environ, "RT_SAFETENSORS_FOLDER": folder}, check=True)
    with safe_open(folder + "/ours.safetensors", framework="np") as f:
        assert set(f.keys()) == {"a", "n", "half", "empty"}, f.keys()
        assert f.metadata()["format"] == "pt" and f.metadata()["note"] == 'quote " line\nÜ', f.metadata()
        for name, expected in tensors.items():
            got = f.get_tensor(name)
            assert got.dtype == expected.dtype and got.shape == expected.shape and (got == expected).all(), name
        assert f.get_tensor("half").dtype == np.float16 and f.get_tensor("half").tolist() == [1, 2, 3]
        assert f.get_tensor("empty").shape == (0, 4)
print("both readers agree")
