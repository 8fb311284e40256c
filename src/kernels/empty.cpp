namespace rt { void kernels_room(); void kernels_room() {} }
