namespace rt {
void train_room();
void train_room() {}
}  // namespace rt
