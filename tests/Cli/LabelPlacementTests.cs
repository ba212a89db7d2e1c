using CudaLora.Cli;

namespace CudaLora.Tests.Cli;

public sealed class LabelPlacementTests
{
    [Fact]
    public void ALonePointHasItsNameRightOfIt()
    {
        var placement = Chart();
        placement.Mark(5, 5);

        var place = placement.Place(5, 5, "lora");

        Assert.True(place.X > 5);
        Assert.Equal(5, place.Y, 1e-9);
        Assert.False(place.Far);
    }

    [Fact]
    public void ANameAtTheRightEndIsPlacedLeftOfItsPoint()
    {
        var placement = Chart();
        placement.Mark(9.9, 5);

        Assert.True(placement.Place(9.9, 5, "lora").X < 9.9);
    }

    [Fact]
    public void NamesOfOnePlaceDoNotCoverEachOther()
    {
        var placement = Chart();
        placement.Mark(5, 5);
        LabelPlace[] places = [.. Enumerable.Range(0, 12).Select(_ => placement.Place(5, 5, "adalora"))];

        // 100 pixels per unit; a name of seven letters is about 52 wide and 15 high.
        foreach (var (i, a) in places.Index())
            foreach (var b in places.Skip(i + 1))
                Assert.True(Math.Abs(a.X - b.X) >= 0.5 || Math.Abs(a.Y - b.Y) >= 0.15 - 1e-9, $"{a} {b}");
        Assert.Contains(places, place => place.Far);
    }

    private static LabelPlacement Chart() => new((0, 10, 100), (0, 10, 100));
}
