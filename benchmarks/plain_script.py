"""A training as tutorials write it, which `paper_repro` is measured beside: ImageFolder, transforms, DataLoader, SGD.

    python benchmarks/plain_script.py FOLDER [--size PX] [--epochs N] [--workers N] [--threads N] [--batches N]

It trains torchvision's ResNet50 in single precision on 70 % of the photographs, validates each epoch on 10 %, tests on
20 % and prints the training images per second. The sizes and the recipe are those of the profile `cpu`.
"""

import argparse
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, models, transforms

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("folder")
parser.add_argument("--size", type=int, default=96)
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--threads", type=int, default=torch.get_num_threads())
parser.add_argument("--batches", type=int, default=None, help="stop each epoch here and evaluate nothing")
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(0)

normalise = transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
train_transform = transforms.Compose(
    [
        transforms.RandomResizedCrop(args.size, scale=(0.6, 1)),
        transforms.RandomHorizontalFlip(),
        transforms.ColorJitter(brightness=0.2, contrast=0.2, saturation=0.2),
        transforms.ToTensor(),
        normalise,
    ]
)
test_transform = transforms.Compose([transforms.Resize((args.size, args.size)), transforms.ToTensor(), normalise])

training_set = datasets.ImageFolder(args.folder, train_transform)
test_set = datasets.ImageFolder(args.folder, test_transform)
order = torch.randperm(len(training_set)).tolist()
first, second = int(0.7 * len(order)), int(0.8 * len(order))
train_loader = DataLoader(
    Subset(training_set, order[:first]), batch_size=32, shuffle=True, drop_last=True, num_workers=args.workers
)
validation_loader = DataLoader(Subset(test_set, order[first:second]), batch_size=32, num_workers=args.workers)
test_loader = DataLoader(Subset(test_set, order[second:]), batch_size=32, num_workers=args.workers)

model = models.resnet50(num_classes=len(training_set.classes))
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.015, momentum=0.9, weight_decay=5e-4)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)


def accuracy(loader):
    model.eval()
    correct = 0
    with torch.no_grad():
        for images, labels in loader:
            correct += (model(images).argmax(dim=1) == labels).sum().item()
    return correct / len(loader.dataset)


images_seen, seconds = 0, 0.0
for epoch in range(args.epochs):
    model.train()
    start = time.perf_counter()
    for batch, (images, labels) in enumerate(train_loader):
        if batch == args.batches:
            break
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        images_seen += len(images)
    seconds += time.perf_counter() - start
    scheduler.step()
    if args.batches is None:
        print(f"epoch {epoch + 1}: loss {loss.item():.3f}, validation accuracy {accuracy(validation_loader):.3f}")
if args.batches is None:
    print(f"test accuracy {accuracy(test_loader):.3f}")
print(f"training images per second: {images_seen / seconds:.2f}")
