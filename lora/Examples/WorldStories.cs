namespace CudaLora.Lora;

/// <summary>Stories of four or five sentences; the last one repeats something said before, which teaches to look
/// back.</summary>
internal static class WorldStories
{
    private static readonly string[] Names =
        World.Words("Anna Ben Clara David Emma Felix Grace Henry Kate Leo Mary Noah");
    private static readonly string[] Things = World.Words("ball key book hat lamp ring coin cup kite drum bell box");
    private static readonly string[] Colours = World.Words("red blue green yellow purple orange white black");
    private static readonly string[] Places = World.Words("kitchen shed garage bedroom lounge garden barn attic");

    public static string Tell(WorldDraw draw)
    {
        string name = draw.Of(Names), friend = draw.Of(Names), thing = draw.Of(Things);
        string colour = draw.Of(Colours), place = draw.Of(Places);
        if (friend == name) friend = "Otto";
        string a = colour == "orange" ? "an" : "a";
        return draw.Below(4) switch
        {
            0 => $"One day {name} found {a} {colour} {thing}. {name} took the {thing} to the {place}. "
                + $"Then {name} went home. The {colour} {thing} is still in the {place}.",
            1 => $"{name} had a {thing}. {friend} wanted the {thing} too. So {name} gave the {thing} to {friend}. "
                + $"Now {friend} has the {thing}.",
            2 => $"{name} and {friend} went to the {place}. There they saw a {thing}. The {thing} was {colour}. "
                + $"{name} and {friend} took the {colour} {thing} home.",
            _ => $"{name} lost a {thing} in the {place}. {friend} looked for it all day. At last {friend} found "
                + $"the {thing}. It was in the {place}. {name} was happy.",
        };
    }
}
