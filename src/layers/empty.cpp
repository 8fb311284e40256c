namespace rt {
void layers_room();
void layers_room() {}
}  // namespace rt
