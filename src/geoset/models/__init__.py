"""Networks: timm encoders, the decoder that pre-training needs, and their weights on disk."""
